"""Django's admin, served by Atrium's own site. Apart from the site, which cannot be imported before the apps are."""

from django.contrib.admin.apps import AdminConfig


class AtriumAdminConfig(AdminConfig):
    """Takes the place of `django.contrib.admin` in INSTALLED_APPS."""

    default_site = "config.admin_site.AtriumAdminSite"
