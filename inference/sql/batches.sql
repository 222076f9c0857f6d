-- A line becomes a call, in the transaction that admits it; raises AT409 where it is one already, or has ended.
CREATE OR REPLACE FUNCTION begin_batch_line(p_tenant uuid, p_line uuid, p_generation uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE inference_batchline l SET state = 'queued', generation_id = p_generation
     WHERE l.tenant_id = p_tenant AND l.id = p_line AND l.state = 'waiting';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the line is a call already' USING ERRCODE = 'AT409';
    END IF;
END $$;

-- What became of a line's call, in the transaction that settles it: so a line that ended never runs again.
-- A failure that may pass is tried again a few times, further and further apart, where nothing was used: each line is
-- billed once. The line that ends last wakes the batch's driver; where two end at once its own delay does.
CREATE OR REPLACE FUNCTION end_batch_line(
    p_tenant uuid, p_generation uuid, p_state text, p_answer jsonb, p_error jsonb, p_used boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_type text := p_error -> 'error' ->> 'type';
    v_code text := p_error -> 'error' ->> 'code';
    v_again boolean := NOT p_used AND (p_state = 'cancelled' OR (v_type IN ('server_error', 'rate_limit_error')
                           AND coalesce(v_code, '') <> 'deadline_exceeded'));
    -- A model that asks for patience gets it.
    v_most int := CASE v_code WHEN 'upstream_rate_limited' THEN 9 ELSE 3 END;
    v_batch uuid;
BEGIN
    UPDATE inference_batchline l
       SET attempts = l.attempts + 1,
           state = CASE WHEN p_state = 'completed' THEN 'completed' WHEN v_again AND l.attempts < v_most THEN 'waiting'
                        ELSE 'failed' END,
           not_before = clock_timestamp() + 5 * power(3, least(l.attempts, 4)) * interval '1 second',
           answer = coalesce(p_answer, p_error),
           status = CASE WHEN p_state = 'completed' THEN 200 WHEN v_code = 'insufficient_quota' THEN 429
                         WHEN v_code = 'model_not_found' THEN 404 WHEN v_code = 'deadline_exceeded' THEN 504
                         WHEN v_type = 'rate_limit_error' THEN 429 WHEN v_type = 'invalid_request_error' THEN 400
                         ELSE 502 END
     WHERE l.tenant_id = p_tenant AND l.generation_id = p_generation AND l.state = 'queued'
    RETURNING l.batch_id INTO v_batch;
    IF FOUND AND NOT EXISTS (SELECT 1 FROM inference_batchline l
                              WHERE l.tenant_id = p_tenant AND l.batch_id = v_batch AND l.state = 'queued') THEN
        PERFORM hasten_work(p_tenant, v_batch);
    END IF;
END $$;
