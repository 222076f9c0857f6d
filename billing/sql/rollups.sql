-- Add the ledger's new lines to its sums by hour and day; returns how many lines there were, null where another does it.
-- New are the lines of transactions from the mark up to the oldest one that still runs: all of those have ended, so none
-- can come later, and whoever commits late is above the next mark. Sums and mark move in one transaction.
-- Who reads: the sums, and the lines with xact >= up_to, in one snapshot or with the same mark before and after.
CREATE OR REPLACE FUNCTION roll_up_usage()
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_from bigint;
    v_to bigint;
    v_lines bigint;
    v_models text := 'operation, model, meter, currency, provider, batch, corrects';
    v_columns text := v_models || ', key_id, price_id, tags';
    v_totals text := 'quantity, included, calls, lines, cost, variance, list_cost, unlisted_cost, provider_cost, unmatched_cost';
    v_summed text;
    v_added text;
    v_insert text := 'INSERT INTO %1$I AS s (tenant_id, id, start, %2$s, %3$s) SELECT tenant_id, '
        || 'encode(substring(sha256(convert_to(jsonb_build_array(extract(epoch FROM %5$s)::bigint, %2$s)::text, ''UTF8'')) '
        || 'FOR 16), ''hex'')::uuid, %5$s, %2$s, %4$s FROM fresh GROUP BY tenant_id, %5$s, %2$s '
        || 'ON CONFLICT (tenant_id, id) DO UPDATE SET %6$s';
BEGIN
    IF NOT EXISTS (SELECT FROM billing_rollupmark) THEN
        INSERT INTO billing_rollupmark (id, up_to, rolled_at) VALUES (1, 0, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    SELECT up_to INTO v_from FROM billing_rollupmark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_to := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    IF v_from > v_to THEN
        -- Transactions were counted further where the mark was made: the rows came from another server's dump.
        RAISE EXCEPTION 'the sums of usage are those of another server (% > %): run manage.py rebuild_rollups', v_from, v_to;
    END IF;
    SELECT string_agg(format('sum(%1$s) AS %1$s', name), ', '), string_agg(format('%1$s = s.%1$s + excluded.%1$s', name), ', ')
      INTO v_summed, v_added FROM unnest(string_to_array(v_totals, ', ')) AS name;
    EXECUTE 'WITH fresh AS MATERIALIZED (
        SELECT u.tenant_id, date_trunc(''hour'', u.occurred_at, ''UTC'') AS hour, date_trunc(''day'', u.occurred_at, ''UTC'') AS day,
               u.end_user, u.key_id, u.operation, u.model, u.meter, u.price_id, u.currency, u.provider, u.tags, u.batch,
               u.corrects IS NOT NULL AS corrects, sum(u.quantity) AS quantity, sum(u.included) AS included,
               count(*) FILTER (WHERE u.leads) AS calls, count(*) AS lines, sum(u.cost) AS cost, sum(u.variance) AS variance,
               coalesce(sum(u.list_cost), 0) AS list_cost,
               coalesce(sum(u.cost) FILTER (WHERE u.list_cost IS NULL), 0) AS unlisted_cost,
               coalesce(sum(u.provider_cost), 0) AS provider_cost,
               coalesce(sum(u.cost) FILTER (WHERE u.provider_cost IS NULL), 0) AS unmatched_cost
          FROM billing_usagerecord u WHERE u.xact >= $1 AND u.xact < $2
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
        hours AS (' || format(v_insert, 'billing_usagehour', v_columns, v_totals, v_summed, 'hour', v_added) || '),
        days AS (' || format(v_insert, 'billing_usageday', v_columns, v_totals, v_summed, 'day', v_added) || '),
        models AS (' || format(v_insert, 'billing_modelday', v_models, v_totals, v_summed, 'day', v_added) || '),
        users AS (' || format(v_insert, 'billing_userday', 'end_user, ' || v_columns, v_totals, v_summed, 'day', v_added) || ')
        SELECT coalesce(sum(lines), 0) FROM fresh' INTO v_lines USING v_from, v_to;
    UPDATE billing_rollupmark SET up_to = v_to, rolled_at = clock_timestamp();
    RETURN v_lines;
END $$;
