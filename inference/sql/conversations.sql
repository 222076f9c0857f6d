-- Items of conversations that outlived their retention. Ids only; the caller opens the scope of each tenant.
CREATE OR REPLACE FUNCTION expired_conversation_items(p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT i.tenant_id, i.id FROM inference_conversationitem i
     WHERE i.contents_until < clock_timestamp() ORDER BY i.contents_until LIMIT p_limit
$$;
