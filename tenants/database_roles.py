"""The database's roles, by name. `config.bootstrap` creates them; constraints and grants refer to them."""

#: Runs migrations and owns every table. No server logs in as owner.
OWNER = "atrium_owner"
#: What web and workers log in as: DML only, every row behind row-level security.
APP = "atrium_app"
#: Platform staff in the admin and the platform API: sees all tenants; what it does is audited.
STAFF = "atrium_staff"
#: Owns the pinned SECURITY DEFINER functions; nobody can log in as it.
DEFINER = "atrium_definer"
