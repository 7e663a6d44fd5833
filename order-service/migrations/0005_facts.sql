-- What is particular about an entry of the history has a name for each of its meanings, in place of one text for people.
--
-- Instances of the version before work on beside this: they write `detail` and leave `facts` empty, and what they write is
-- read into the same names. What only this version writes, they show without its particulars.
ALTER TABLE order_history ADD COLUMN facts jsonb;
COMMENT ON COLUMN order_history.facts IS 'What is particular about it, by name: reason, decline_code, gateway_reference, notification, channel, missing. Null: nothing is, or a version before this one wrote it.';
COMMENT ON COLUMN order_history.detail IS 'The same as one text, written by versions before `facts`.';
