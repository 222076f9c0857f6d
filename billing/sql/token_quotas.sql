-- Tokens of a month, limited by key and by tenant: held with the money, before it, and used by what the call used.

-- Hold up to p_most tokens on the month's accounts of key and tenant, as far as their quotas (0: none) go, at least p_min;
-- returns how many, and on which accounts. Raises AT429 with the quota in DETAIL.
CREATE OR REPLACE FUNCTION reserve_tokens(
    p_tenant uuid, p_key uuid, p_day date, p_min bigint, p_most bigint, p_key_quota bigint, p_tenant_quota bigint,
    OUT tokens bigint, OUT accounts uuid[])
LANGUAGE plpgsql AS $$
DECLARE
    v_month date := date_trunc('month', p_day::timestamp)::date;
    v_wanted int := (p_key_quota > 0)::int + (p_tenant_quota > 0)::int;
    v_account record;
    v_tight record;
BEGIN
    FOR v_try IN 1..2 LOOP
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
        EXIT WHEN cardinality(accounts) = v_wanted;
        -- A quota that is set within a month counts what was used in it before.
        INSERT INTO billing_tokenaccount (tenant_id, id, key_id, period_start, used)
            SELECT p_tenant, uuidv7(), k.key_id, v_month, tokens_used(p_tenant, k.key_id, v_month)
              FROM (VALUES (p_key, p_key_quota), (NULL, p_tenant_quota)) AS k (key_id, quota)
             WHERE k.quota > 0 ORDER BY k.key_id NULLS LAST
            ON CONFLICT (tenant_id, key_id, period_start) DO NOTHING;
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

-- Meters of tokens that models read and write.
CREATE OR REPLACE FUNCTION counts_to_quota(p_meter text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_meter IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens', 'embedding_tokens')
$$;

-- The tokens that the ledger has of a month, of one key or (null) of the tenant.
CREATE OR REPLACE FUNCTION tokens_used(p_tenant uuid, p_key uuid, p_month date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT greatest(0, coalesce(sum(u.quantity), 0))::bigint FROM billing_usagerecord u
     WHERE u.tenant_id = p_tenant AND (p_key IS NULL OR u.key_id = p_key) AND counts_to_quota(u.meter)
       AND u.occurred_at >= p_month::timestamp AT TIME ZONE 'utc'
       AND u.occurred_at < (p_month + interval '1 month') AT TIME ZONE 'utc'
$$;

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
