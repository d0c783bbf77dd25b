-- send_mail: a mail from a step.
--
-- It and post_webhook() are SECURITY DEFINER: one GRANT EXECUTE is enough to use them, and
-- yet a caller can neither name another settings file nor read the server's.

CREATE OR REPLACE FUNCTION pgagent.pga_settings_path()
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Not current_setting(): everybody can SET that.
    SELECT f.setting FROM pg_show_all_file_settings() AS f
    WHERE lower(f.name) = 'pgagent.mail_config' AND f.applied
    ORDER BY f.seqno DESC LIMIT 1
$$;
COMMENT ON FUNCTION pgagent.pga_settings_path() IS
'The settings file that pgagent.mail_config names in the server''s configuration files; NULL if none is named there.';
REVOKE ALL ON FUNCTION pgagent.pga_settings_path() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgagent.pga_send_mail(
    p_settings_path text, p_recipients text[], p_subject text, p_body text, p_sender text,
    p_timeout double precision
)
RETURNS jsonb LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
