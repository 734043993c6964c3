"""A store says what it is."""

import time

from bandit_service.redis_store.inspection import inspect_store


async def test_the_servers_own_name_and_version_are_told_from_the_redis_it_is_compatible_with(redis_url: str) -> None:
    facts = await inspect_store(redis_url)
    name = f"{facts.server} {facts.version}"
    assert name.startswith(("Valkey 9.", "Redis 6.2."))
    assert (facts.server == "Redis") == (facts.version == facts.redis_version)


async def test_a_server_of_ones_own_takes_every_script_and_keeps_everything(redis_url: str) -> None:
    facts = await inspect_store(redis_url)
    assert facts.refused_scripts == ()
    assert (facts.role, facts.policy, facts.append_only, facts.last_write_ok) == ("master", "noeviction", True, True)
    assert not facts.is_cluster
    assert facts.memory_used > 0


async def test_the_clocks_of_two_programs_on_one_machine_agree(redis_url: str) -> None:
    before = time.time()
    facts = await inspect_store(redis_url)
    assert abs(facts.clock_ahead) < time.time() - before + 0.001
