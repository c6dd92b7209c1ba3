"""Login and logout."""

import math
from typing import Any

from flask import current_app, redirect, render_template, request, url_for

from ..api import session
from ..api.refusals import TokenWrong, TooManyLogins
from ..api.security import find_token
from . import forms
from .blueprint import wants_html, web


@web.get("/web/login")
def login_page() -> str:
    """Return the form for the token."""
    return render_template("login.html", next=forms.local_path(request.args.get("next")))


@web.post("/web/login")
def log_in() -> Any:
    """Exchange the token for a cookie, and return to the page that asked for it."""
    target = forms.local_path(request.form.get("next"))
    given = request.form.get("token", "").strip().encode(errors="surrogatepass")
    if (seconds := math.ceil(session.wrong_tokens.wait())) > 0:
        message = f"Too many wrong tokens; try again in {seconds} s."
        raise TooManyLogins(message, retry_after=seconds)
    tokens = current_app.config["SETTINGS"].api_tokens
    token = find_token(given, tokens)
    if token is None:
        session.wrong_tokens.failed()
        message = "The token is wrong; use one of those in API_TOKEN."
        if not tokens:
            message = "No login is needed: the service has no API_TOKEN."
        headers = {"WWW-Authenticate": 'Bearer realm="tasks"'}
        if not wants_html():
            raise TokenWrong(message, headers=headers)
        page = render_template("login.html", next=target, failure=message)
        return page, TokenWrong.status, headers
    response = redirect(target, 303)
    session.start(response, token)
    return response


@web.post("/web/logout")
def log_out() -> Any:
    """End the session in this browser."""
    response = redirect(url_for("web.login_page"), 303)
    session.end(response)
    return response
