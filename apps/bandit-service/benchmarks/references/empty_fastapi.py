"""The framework alone: a FastAPI endpoint with a pydantic body that does nothing."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class SelectBody(BaseModel):
    """Which arm for this request."""

    experiment_id: str
    unit_id: str | None = None


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post("/select")
    async def select(body: SelectBody) -> JSONResponse:
        return JSONResponse({"experiment_id": body.experiment_id, "arm": "a"})

    return app
