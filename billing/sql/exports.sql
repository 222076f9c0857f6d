-- Schedules whose period is over, and reports whose file is to be removed. Ids only.
CREATE OR REPLACE FUNCTION due_report_schedules(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.tenant_id, s.id FROM billing_reportschedule s WHERE s.active AND s.due_at <= p_now ORDER BY s.due_at LIMIT p_limit
$$;

CREATE OR REPLACE FUNCTION expired_reports(p_now timestamptz, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.tenant_id, r.id FROM billing_report r
     WHERE r.state = 'completed' AND r.expires_at <= p_now ORDER BY r.expires_at LIMIT p_limit
$$;
