-- What an event of the payment service waits for, so that an event that is
-- carried out tries only those again that it can help.

-- +goose Up
ALTER TABLE payment_event ADD COLUMN waits_for text[]; -- price/ID, customer/ID, payment/ID, …; NULL = not known

UPDATE payment_event SET waits_for = CASE
    WHEN detail ~ '^Price [^ ]+ is not mapped' THEN ARRAY['price/' || split_part(detail, ' ', 2)]
    WHEN detail ~ '^Customer [^ ]+ belongs' THEN ARRAY['customer/' || split_part(detail, ' ', 2)]
    WHEN detail ~ '^No purchase is known for payment ' THEN ARRAY['payment/' || split_part(detail, ' ', 7), 'invoice']
    END
WHERE status = 'waiting';

-- +goose Down
ALTER TABLE payment_event DROP COLUMN waits_for;
