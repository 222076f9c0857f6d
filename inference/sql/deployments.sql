-- Tenants' own deployments that a health check may ask, over all tenants: those that opted in, and those of p_ids (the
-- ones whose breaker is open). Ids only: the caller opens the scope of each tenant and reads there.
CREATE OR REPLACE FUNCTION deployments_to_check(p_ids uuid[])
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.tenant_id, d.id FROM inference_tenantdeployment d
     WHERE d.enabled AND (d.health_check OR d.id = ANY (p_ids)) ORDER BY d.tenant_id, d.id
$$;
