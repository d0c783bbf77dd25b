-- post_webhook: JSON to a URL, from a step.

CREATE OR REPLACE FUNCTION pgagent.pga_post_webhook(
    p_settings_path text, p_url text, p_payload jsonb, p_headers jsonb,
    p_timeout double precision, p_secret text
)
RETURNS jsonb LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
