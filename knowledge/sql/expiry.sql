-- What has expired, over all tenants: ids only. The caller opens the scope of each tenant and decides there.

CREATE OR REPLACE FUNCTION expired_files(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT f.tenant_id, f.id FROM knowledge_file f
     WHERE f.expires_at <= p_now AND f.deleted_at IS NULL ORDER BY f.expires_at LIMIT p_limit
$$;

CREATE OR REPLACE FUNCTION expired_stores(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.tenant_id, v.id FROM knowledge_vectorstore v
     WHERE v.expires_after_days IS NOT NULL AND v.expired_at IS NULL AND v.deleted_at IS NULL
       AND v.last_active_at <= p_now - v.expires_after_days * interval '1 day'
     ORDER BY v.last_active_at LIMIT p_limit
$$;
