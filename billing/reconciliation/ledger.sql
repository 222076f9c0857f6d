-- What the ledger has of some models in some days, by model, meter and day (UTC), over all tenants or by tenant.
-- A correction counts to the day of the line that it corrects: so what a bill proved wrong is right the next time.
-- `late_in`: units of calls that began on an earlier day than the one in which they were settled; `late_out`: the same
-- units, by the day on which they began, which is the provider's. Ids of calls are UUIDs of version 7 and say when.
WITH line AS (
    SELECT u.tenant_id, u.id, u.model, u.meter, u.currency, (u.occurred_at AT TIME ZONE 'utc')::date AS day,
           (uuid_extract_timestamp(u.request_id) AT TIME ZONE 'utc')::date AS begun, u.quantity, u.cost, u.provider_cost,
           u.estimated
      FROM billing_usagerecord u
     WHERE u.corrects IS NULL AND u.model = ANY (%(models)s) AND u.provider IN ('', %(provider)s)
       AND u.occurred_at >= %(start)s AND u.occurred_at < %(end)s
       AND u.period_start >= date_trunc('month', %(start)s::timestamptz - interval '1 month', 'utc')::date
       AND u.period_start <= %(end)s::timestamptz::date),
corrected AS (
    SELECT c.tenant_id, c.corrects, sum(c.quantity) AS quantity, sum(c.cost) AS cost, sum(c.provider_cost) AS provider_cost
      FROM line l JOIN billing_usagerecord c ON c.tenant_id = l.tenant_id AND c.corrects = l.id
     GROUP BY c.tenant_id, c.corrects),
net AS (
    SELECT l.tenant_id, l.id, l.model, l.meter, l.currency, l.day, l.begun, l.estimated,
           l.quantity + coalesce(c.quantity, 0) AS quantity, l.cost + coalesce(c.cost, 0) AS cost,
           CASE WHEN l.provider_cost IS NOT NULL OR c.provider_cost IS NOT NULL
                THEN coalesce(l.provider_cost, 0) + coalesce(c.provider_cost, 0) END AS provider_cost,
           c.corrects IS NOT NULL AS corrected
      FROM line l LEFT JOIN corrected c ON c.tenant_id = l.tenant_id AND c.corrects = l.id)
