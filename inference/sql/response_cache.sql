-- Keep an answer under its key, in the place of an older one, and let go of the tenant's oldest until what it has is within
-- its bounds. One round trip. Returns how many were let go.
CREATE OR REPLACE FUNCTION keep_response(
    p_tenant uuid, p_grant uuid, p_key bytea, p_answer jsonb, p_bytes int, p_ttl interval, p_most_entries bigint,
    p_most_bytes bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_entries bigint;
    v_bytes bigint;
    v_gone bigint := 0;
BEGIN
    INSERT INTO inference_cachedresponse (tenant_id, id, grant_id, key, answer, size_bytes, created_at, expires_at)
        VALUES (p_tenant, uuidv7(), p_grant, p_key, p_answer, p_bytes, clock_timestamp(), clock_timestamp() + p_ttl)
        ON CONFLICT (tenant_id, key) DO UPDATE SET answer = excluded.answer, size_bytes = excluded.size_bytes,
            created_at = excluded.created_at, expires_at = excluded.expires_at;
    SELECT count(*), sum(c.size_bytes) INTO v_entries, v_bytes FROM inference_cachedresponse c WHERE c.tenant_id = p_tenant;
    IF v_entries > p_most_entries OR v_bytes > p_most_bytes THEN
        DELETE FROM inference_cachedresponse c USING (
            SELECT id, row_number() OVER age AS n, sum(size_bytes) OVER age AS bytes FROM inference_cachedresponse
             WHERE tenant_id = p_tenant WINDOW age AS (ORDER BY created_at DESC, id DESC)) kept
         WHERE c.tenant_id = p_tenant AND c.id = kept.id AND (kept.n > p_most_entries OR kept.bytes > p_most_bytes);
        GET DIAGNOSTICS v_gone = ROW_COUNT;
    END IF;
    RETURN v_gone;
END $$;

-- The tenants that have expired answers. Ids only.
CREATE OR REPLACE FUNCTION tenants_with_expired_responses(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT DISTINCT c.tenant_id FROM inference_cachedresponse c WHERE c.expires_at <= p_now LIMIT p_limit
$$;
