//! Owns payments; the only service that talks to the gateway.
