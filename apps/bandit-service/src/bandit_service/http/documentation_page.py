"""The page /docs. Its scripts come from this service, so that it also shows something without internet."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PATH: Final = "/docs"
_ASSETS: Final = "docs/assets"


def install(app: FastAPI) -> None:
    """Serve the page, and the files of Swagger UI below it."""
    # Relative addresses, which also lead here behind a proxy that adds a path of its own.
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url).lstrip("/"),
        title=app.title,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )

    @app.api_route(PATH, methods=["GET", "HEAD"], include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return page

    # Only the files of that package are used.
    app.mount(f"/{_ASSETS}", StaticFiles(directory=str(files("fastapi_offline") / "static")))
