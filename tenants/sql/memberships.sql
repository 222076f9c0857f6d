-- The tenants a person may enter, asked at admin log-in, before any scope is open. Ids and roles only.
CREATE OR REPLACE FUNCTION memberships_of(p_user uuid)
RETURNS TABLE (tenant_id uuid, role varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.tenant_id, m.role FROM tenants_membership m WHERE m.user_id = p_user ORDER BY m.created_at
$$;

-- The id behind a slug, for the command line and the bench; null where there is none.
CREATE OR REPLACE FUNCTION tenant_by_slug(p_slug text)
RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id FROM tenants_tenant t WHERE t.slug = p_slug
$$;

-- Looks of platform staff at tenants whose time is over and that nobody ended.
CREATE OR REPLACE FUNCTION overdue_staff_views(p_now timestamptz)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.tenant_id, v.id FROM tenants_staffview v WHERE v.ended_at IS NULL AND v.ends_at <= p_now
$$;
