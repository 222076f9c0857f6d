-- The tenants that store files. Ids only.
CREATE OR REPLACE FUNCTION tenants_with_files()
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT DISTINCT f.tenant_id FROM knowledge_file f WHERE f.deleted_at IS NULL
$$;
