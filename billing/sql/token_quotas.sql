-- Tokens of a month, limited by key and by tenant: held with the money, before it, and used by what the call used.

-- Meters of tokens that models read and write.
CREATE OR REPLACE FUNCTION counts_to_quota(p_meter text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_meter IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens', 'embedding_tokens')
$$;

-- The tokens that the ledger has of a month, of one key or (null) of the tenant; read as `spent_under` reads costs.
CREATE OR REPLACE FUNCTION tokens_used(p_tenant uuid, p_key uuid, p_month date) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH span AS MATERIALIZED (
        SELECT p_month::timestamp AT TIME ZONE 'utc' AS since, (p_month + interval '1 month') AT TIME ZONE 'utc' AS until,
               coalesce((SELECT m.up_to FROM billing_rollupmark m
                          WHERE m.up_to <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint), 0) AS mark)
    SELECT greatest(0, coalesce(sum(x.quantity), 0))::bigint FROM (
        SELECT d.quantity FROM span, billing_usageday d
         WHERE span.mark > 0 AND d.tenant_id = p_tenant AND (p_key IS NULL OR d.key_id = p_key)
           AND counts_to_quota(d.meter) AND d.start >= span.since AND d.start < span.until
        UNION ALL
        SELECT u.quantity FROM span, billing_usagerecord u
         WHERE u.xact >= span.mark AND u.tenant_id = p_tenant AND (p_key IS NULL OR u.key_id = p_key)
           AND counts_to_quota(u.meter) AND u.occurred_at >= span.since AND u.occurred_at < span.until) x
$$;

-- Make the month's accounts of these keys and of the tenant that are missing. A quota that is set within a month counts
-- what was used in it before. Before any of them is locked: who waits for one that another makes must hold none.
CREATE OR REPLACE FUNCTION open_token_accounts(p_tenant uuid, p_keys uuid[], p_of_tenant boolean, p_month date)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_tokenaccount (tenant_id, id, key_id, period_start, used)
        SELECT p_tenant, uuidv7(), k.key_id, p_month, tokens_used(p_tenant, k.key_id, p_month)
          FROM (SELECT unnest(p_keys) AS key_id UNION SELECT NULL WHERE p_of_tenant) k
         WHERE NOT EXISTS (SELECT 1 FROM billing_tokenaccount t
                            WHERE t.tenant_id = p_tenant AND t.period_start = p_month AND t.key_id IS NOT DISTINCT FROM k.key_id)
         ORDER BY k.key_id NULLS LAST
        ON CONFLICT (tenant_id, key_id, period_start) DO NOTHING
$$;

-- Hold up to p_most tokens on the month's accounts of key and tenant, as far as their quotas (0: none) go, at least p_min;
-- returns how many, and on which accounts. Raises AT429 with the quota in DETAIL.
CREATE OR REPLACE FUNCTION reserve_tokens(
    p_tenant uuid, p_key uuid, p_day date, p_min bigint, p_most bigint, p_key_quota bigint, p_tenant_quota bigint,
    OUT tokens bigint, OUT accounts uuid[])
LANGUAGE plpgsql AS $$
DECLARE
    v_month date := date_trunc('month', p_day::timestamp)::date;
    v_account record;
    v_tight record;
BEGIN
    PERFORM open_token_accounts(p_tenant, CASE WHEN p_key_quota > 0 THEN ARRAY[p_key] END, p_tenant_quota > 0, v_month);
    tokens := p_most;
    accounts := '{}';
    FOR v_account IN
        SELECT t.id, t.key_id, t.used, t.held, CASE WHEN t.key_id IS NULL THEN p_tenant_quota ELSE p_key_quota END AS quota
          FROM billing_tokenaccount t
         WHERE t.tenant_id = p_tenant AND t.period_start = v_month
           AND ((t.key_id IS NULL AND p_tenant_quota > 0) OR (t.key_id = p_key AND p_key_quota > 0))
         ORDER BY t.key_id NULLS LAST FOR UPDATE
    LOOP
        accounts := accounts || v_account.id;
        IF v_account.quota - v_account.used - v_account.held < tokens THEN
            tokens := v_account.quota - v_account.used - v_account.held;
            v_tight := v_account;
        END IF;
    END LOOP;
    IF tokens < p_min THEN
        RAISE EXCEPTION 'quota used up' USING ERRCODE = 'AT429', DETAIL = jsonb_build_object(
            'quota', CASE WHEN v_tight.key_id IS NULL THEN 'tenant' ELSE 'key' END, 'limit', v_tight.quota,
            'used', v_tight.used, 'held', v_tight.held, 'needed', p_min,
            'resets_at', (v_month + interval '1 month')::date)::text;
    END IF;
    UPDATE billing_tokenaccount t SET held = t.held + reserve_tokens.tokens
     WHERE t.tenant_id = p_tenant AND t.id = ANY (reserve_tokens.accounts);
END $$;

-- A reservation has ended: its tokens are held no more, and those that it used are. A call of which nobody knows used
-- what it held.
CREATE OR REPLACE FUNCTION use_tokens(r billing_reservation, p_lines jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_account uuid;
    v_used bigint := r.tokens;
BEGIN
    IF r.state <> 'unknown' THEN
        SELECT coalesce(sum(l.quantity), 0) INTO v_used
          FROM jsonb_to_recordset(p_lines) AS l (meter text, quantity bigint) WHERE counts_to_quota(l.meter);
    END IF;
    FOR v_account IN SELECT e.value::uuid FROM jsonb_array_elements_text(r.quotas) WITH ORDINALITY e ORDER BY e.ordinality LOOP
        UPDATE billing_tokenaccount t SET held = t.held - r.tokens, used = t.used + v_used
         WHERE t.tenant_id = r.tenant_id AND t.id = v_account;
    END LOOP;
END $$;
