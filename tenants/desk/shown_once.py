"""The one page on which the admin shows a secret that it has just made."""

from typing import Any

from django.contrib.admin.options import IS_POPUP_VAR
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ..carried import Carried
from .base import TenantAdmin

#: The secret that was made for this request, until its answer shows it.
ISSUED = Carried[str]("issued_key")


def shown_once(page: TenantAdmin, request: HttpRequest, row: Any, title: str) -> HttpResponse:
    """A page with what was issued (`ISSUED`), under the row's name.

    No redirect: a message would keep it in a cookie or the session.
    """
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "row": row,
        "issued_key": ISSUED.by(request),
        "is_popup": IS_POPUP_VAR in request.POST,
    }
    return TemplateResponse(request, "admin/api_key_issued.html", context, headers={"Cache-Control": "no-store"})
