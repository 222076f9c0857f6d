-- Bucket sources whose next synchronisation is due, over all tenants: ids only. The caller opens the scope of each tenant
-- and decides there.
CREATE OR REPLACE FUNCTION due_bucket_sources(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.tenant_id, s.id FROM knowledge_bucketsource s
     WHERE s.next_sync_at <= p_now AND s.sync_id IS NULL ORDER BY s.next_sync_at LIMIT p_limit
$$;
