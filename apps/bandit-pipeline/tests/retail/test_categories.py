"""Categories of descriptions as the data set has them."""

import pytest

from bandit_pipeline.retail.categories import categorise


@pytest.mark.parametrize(
    ("description", "category"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "HOLDER"),
        ("PAPER CHAIN KIT 50'S CHRISTMAS", "CHRISTMAS"),
        ("WALL ART GARDEN HAVEN CANVAS", "CANVAS"),
        ("CANDLE CACTUS", "CACTUS"),
        ("SIGN CARRY ON", "CARRY"),
        ("POSTER COME ON IN", "COME"),
        ("LUNCH BAG BLACK SKULL.", "SKULL"),
        ('RECORD FRAME 7" SINGLE SIZE ', "SIZE"),
        ("PACK OF 72 RETROSPOT CAKE CASES", "CASE"),
        ("SET OF 6 SPICE TINS", "TIN"),
        ("SET/5 RED RETROSPOT LID GLASS BOWLS", "BOWL"),
        ("STRAWBERRY GLASS", "GLASS"),
        ("SET OF 6 GLASSES", "GLASS"),
        ("PARTY DRESSES", "DRESS"),
        ("ASSORTED TRINKET BOXES", "BOX"),
        ("BOX OF BERRIES", "BERRY"),
        ("6 MINI PIES", "PIE"),
        ("LADIES GLOVES", "GLOVE"),
        ("CHESS", "CHESS"),
        ("PLASTIC LENS", "LENS"),
        ("CAFÉ", "CAFÉ"),
        ("mug", "MUG"),
        ("TV", "TV"),
    ],
)
def test_the_last_word_in_the_singular(description: str, category: str) -> None:
    assert categorise([description]) == {description: category}


@pytest.mark.parametrize("description", ["?", "12", "", "7 / 8"])
def test_without_a_word_there_is_none(description: str) -> None:
    assert categorise([description]) == {}


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("UMBRELLAS", "UMBRELLA"),
        ("COOKIES", "COOKIE"),
        ("KNIVES", "KNIFE"),
        ("LEAVES", "LEAF"),
        ("PHOTOS", "PHOTO"),
        ("CIRCUSES", "CIRCUS"),
    ],
)
def test_a_plural_goes_with_a_singular_that_is_there(plural: str, singular: str) -> None:
    found = categorise([f"RED {plural}", f"{singular} STAND"])
    assert found[f"RED {plural}"] == singular
