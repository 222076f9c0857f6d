-- Charges that no hold precedes, and corrections: they reach the budgets of their period even above its limits.

-- Add an amount, which may be negative, to what is spent of the budgets above a caller at p_at.
CREATE OR REPLACE FUNCTION add_spent(p_tenant uuid, p_key uuid, p_tags jsonb, p_at timestamptz, p_amount numeric)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- First: a statement does not see the accounts that it makes itself.
    v_accounts uuid[] := ARRAY(SELECT accounts_above(p_tenant, p_key, p_tags, p_at));
BEGIN
    UPDATE billing_budgetaccount a SET spent = a.spent + p_amount WHERE a.tenant_id = p_tenant AND a.id = ANY (v_accounts);
END $$;

-- Charge what was used without a hold, once: lines that the ledger has by request, attempt and meter are left out.
-- p_lines and p_prices as settle_spend's. Returns the cost; null where every line was charged before.
CREATE OR REPLACE FUNCTION charge_spend(
    p_tenant uuid, p_request uuid, p_key uuid, p_operation text, p_end_user text, p_tags jsonb, p_currency text,
    p_prices jsonb, p_lines jsonb, p_at timestamptz)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := uuidv7();
    v_lines jsonb;
    -- What comes after its month was closed belongs to the next.
    v_at timestamptz := greatest(p_at, open_month(p_tenant, p_at)::timestamp AT TIME ZONE 'utc');
BEGIN
    -- Who charges the same request at this moment is waited for.
    PERFORM pg_advisory_xact_lock(hashtextextended('charge ' || p_request, 0));
    SELECT jsonb_agg(e.value ORDER BY e.ordinality) INTO v_lines FROM jsonb_array_elements(p_lines) WITH ORDINALITY e
     WHERE NOT EXISTS (SELECT 1 FROM billing_usagerecord u
                        WHERE u.tenant_id = p_tenant AND u.request_id = p_request AND u.corrects IS NULL
                          AND u.attempt = (e.value ->> 'attempt')::int AND u.meter = e.value ->> 'meter');
    IF v_lines IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO billing_reservation (
        tenant_id, id, request_id, key_id, operation, end_user, tags, hold, currency, prices, accounts, period_start, created_at,
        expires_at)
    VALUES (p_tenant, v_id, p_request, p_key, p_operation, p_end_user, p_tags, 0, p_currency, p_prices,
            coalesce((SELECT jsonb_agg(a) FROM accounts_above(p_tenant, p_key, p_tags, v_at) a), '[]'),
            date_trunc('month', v_at AT TIME ZONE 'utc')::date, v_at, v_at);
    RETURN settle_spend(p_tenant, v_id, 'charged', v_lines);
END $$;
