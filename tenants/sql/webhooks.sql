-- Write an event for the endpoints of the current tenant that want it, in the transaction of what happened. Runs as the
-- caller, inside its scope. Returns how many they are; where there are none, nothing is written. With p_endpoint it is
-- for that one alone, whatever it wants. A p_event that is there already is not written again.
--
-- What goes to endpoints that take nothing at present waits behind the rest.
--
-- The endpoints are locked against deletion until the commit: a delivery without its endpoint would be refused there,
-- and with it what happened.
CREATE OR REPLACE FUNCTION emit_webhook(
    p_event uuid, p_type text, p_object text, p_data json, p_endpoint uuid DEFAULT NULL)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_tenant uuid := current_setting('app.tenant_id')::uuid;
    v_now timestamptz := clock_timestamp();
    v_endpoints uuid[];
    v_sound uuid[];
    v_failing uuid[];
BEGIN
    SELECT array_agg(wanting.id) INTO v_endpoints FROM (
        SELECT e.id FROM tenants_webhookendpoint e
         WHERE e.tenant_id = v_tenant
           AND CASE WHEN p_endpoint IS NULL
                    THEN e.disabled_at IS NULL AND e.event_types && ARRAY[p_type, '*']::varchar[]
                    ELSE e.id = p_endpoint END
         ORDER BY e.id FOR KEY SHARE) wanting;
    IF v_endpoints IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO tenants_webhookevent (tenant_id, id, type, object_id, body, created_at)
    VALUES (v_tenant, p_event, p_type, p_object, json_build_object(
                'id', 'evt_' || replace(p_event::text, '-', ''), 'object', 'event', 'type', p_type,
                'created_at', floor(extract(epoch FROM v_now))::bigint,
                'timestamp', to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'data', p_data)::text, v_now)
    ON CONFLICT (tenant_id, id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH written AS (
        INSERT INTO tenants_webhookdelivery (tenant_id, id, endpoint_id, event_id)
        SELECT v_tenant, uuidv7(), unnest(v_endpoints), p_event RETURNING id, endpoint_id)
    SELECT array_agg(w.id) FILTER (WHERE e.failing_since IS NULL), array_agg(w.id) FILTER (WHERE e.failing_since IS NOT NULL)
      INTO v_sound, v_failing
      FROM written w JOIN tenants_webhookendpoint e ON e.tenant_id = v_tenant AND e.id = w.endpoint_id;
    PERFORM enqueue_all_work(v_tenant, v_sound, 'webhooks', 1);
    PERFORM enqueue_all_work(v_tenant, v_failing, 'webhooks', 1, 1);
    RETURN cardinality(v_endpoints);
END $$;

-- Tenants with an endpoint that wants a type of event, and since when there is one. Ids only.
CREATE OR REPLACE FUNCTION tenants_wanting(p_type text)
RETURNS TABLE (tenant_id uuid, since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.tenant_id, min(e.created_at) FROM tenants_webhookendpoint e
     WHERE e.disabled_at IS NULL AND e.event_types && ARRAY[p_type, '*']::varchar[] GROUP BY e.tenant_id
$$;
