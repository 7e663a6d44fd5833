-- Payments that have not ended, by when they changed: counted every few seconds, they are found without the entries of
-- those that have ended, of which the index by stage has one for each stage that a payment was at.
--
-- While the index is built (a second for a million payments) nothing can be written. Instances of the version before
-- work on beside this.
CREATE INDEX payments_open ON payments (stage, updated_at) WHERE stage IN (
    'awaiting-stock', 'awaiting-order', 'charging', 'cancelling', 'unresolved', 'refunding', 'needs-review');
