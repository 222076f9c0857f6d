-- What usage above a hold cost: on the platform's account of the day, and an alert once an hour for a tenant's model.
CREATE OR REPLACE FUNCTION book_variance(p_tenant uuid, p_model text, p_currency text, p_amount numeric, p_at timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_tenant <> current_setting('app.tenant_id')::uuid THEN
        RAISE EXCEPTION 'another tenant''s variance';
    END IF;
    INSERT INTO billing_varianceaccount AS v (id, day, model, pseudonym, currency, amount, calls)
        VALUES (uuidv7(), (p_at AT TIME ZONE 'utc')::date, p_model, p_tenant, p_currency, p_amount, 1)
        ON CONFLICT (day, model, pseudonym, currency)
        DO UPDATE SET amount = v.amount + excluded.amount, calls = v.calls + 1;
    INSERT INTO billing_variancealert AS v (id, hour, model, pseudonym, currency, amount, calls)
        VALUES (uuidv7(), date_trunc('hour', p_at, 'UTC'), p_model, p_tenant, p_currency, p_amount, 1)
        ON CONFLICT (hour, model, pseudonym, currency)
        DO UPDATE SET amount = v.amount + excluded.amount, calls = v.calls + 1;
END $$;

-- Alerts that nobody was told of yet; each is handed out once, if the caller's transaction commits.
CREATE OR REPLACE FUNCTION raise_variance_alerts(p_limit int)
RETURNS TABLE (hour timestamptz, model text, pseudonym uuid, currency text, amount numeric, calls bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE billing_variancealert v SET raised_at = clock_timestamp()
      FROM (SELECT id FROM billing_variancealert WHERE raised_at IS NULL ORDER BY id LIMIT p_limit FOR UPDATE SKIP LOCKED) n
     WHERE v.id = n.id
    RETURNING v.hour, v.model::text, v.pseudonym, v.currency::text, v.amount, v.calls::bigint
$$;
