-- From now on the journal names every line of a hold, so that the audit can
-- prove them. Holds of before lose what it does not name: lines without credits,
-- and budgets of lines that take nothing from the shared pool. Neither has any
-- effect.

-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    h record;
BEGIN
    FOR h IN
        SELECT owner, id, body::jsonb AS body FROM credit_hold
        WHERE body::jsonb @? '$.lines[*] ? (!exists(@.slices) || exists(@.budget))'
    LOOP
        CONTINUE WHEN jsonb_typeof(h.body -> 'lines') IS DISTINCT FROM 'array'; -- damaged: the audit names it
        UPDATE credit_hold SET body = h.body || jsonb_build_object('lines', (
            SELECT coalesce(jsonb_agg(CASE WHEN EXISTS (
                    SELECT FROM jsonb_array_elements(l -> 'slices') s WHERE coalesce(s ->> 'pool', '') = '')
                THEN l ELSE l - 'budget' END ORDER BY n), '[]')
            FROM jsonb_array_elements(h.body -> 'lines') WITH ORDINALITY x (l, n)
            WHERE jsonb_typeof(l -> 'slices') = 'array'))
        WHERE owner = h.owner AND id = h.id;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 1;
