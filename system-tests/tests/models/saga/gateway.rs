//! The outside: a gateway that honours keys for a day and promises nothing else; a mail server.

use super::{Hand, Saga, World, rules::Broken};
use crate::{flaws::Flaw, unrolled::Kind};

/// What stands in the gateway's book under a key; what an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Book {
    #[default]
    Nothing,
    Charged,
    ChargedWrong,
    /// Under another key than before.
    ChargedTwice,
    Declined,
    /// A refund, or a mail: done.
    Done,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gateway {
    /// What was done about the charge: known by its key, and listed if money was taken.
    charge: Book,
    /// Charges that were executed.
    pub(crate) charges: u8,
    /// Refunds that were executed: each gives all back that one charge took.
    pub(crate) refunds: u8,
    /// Requests to charge that nobody waits for any more.
    pub(crate) travelling: u8,
    /// The keys are forgotten. What was charged stays on the list.
    pub(crate) has_forgotten: bool,
}

impl Gateway {
    /// What was charged and not given back.
    pub(crate) fn net(self) -> u8 {
        self.charges.saturating_sub(self.refunds)
    }
}

impl Saga {
    /// How a request of this kind can end if it arrives now.
    pub(super) fn endings(&self, world: &World, kind: Kind) -> impl Iterator<Item = Book> + use<> {
        let is_charge = matches!(kind, Kind::Charge | Kind::Resolve);
        if is_charge && self.looks_up(world) {
            return [Some(world.gateway.listed()), None, None].into_iter().flatten();
        }
        let is_known = world.gateway.charge != Book::Nothing && !world.gateway.has_forgotten;
        // What a flawed resolve asks for is not a charge, so it settles nothing.
        let asks_only = kind == Kind::Resolve && self.flaw == Flaw::ResolveOnlyAsks;
        let endings = match (is_charge, is_known) {
            (false, _) => [Some(Book::Done), None, None],
            (true, true) => [Some(world.gateway.charge), None, None],
            (true, false) if asks_only => [Some(Book::Declined), None, None],
            (true, false) => [
                Some(Book::Charged),
                world.left.mischarges.then_some(Book::ChargedWrong),
                world.left.declines.then_some(Book::Declined),
            ],
        };
        endings.into_iter().flatten()
    }

    /// A request arrives: executed if its key is new, else answered as before.
    pub(super) fn arrive(&self, world: &mut World, hand: Hand, ending: Book) -> Book {
        match hand.kind {
            Kind::Charge | Kind::Resolve => {
                if self.looks_up(world) {
                    return ending;
                }
                let is_new = self.flaw == Flaw::FreshKeyPerRetry || world.gateway.has_forgotten;
                let is_fresh = is_new && world.gateway.charges > 0;
                let asks_only = hand.kind == Kind::Resolve && self.flaw == Flaw::ResolveOnlyAsks;
                if is_fresh {
                    world.gateway.charges += 1;
                    return Book::ChargedTwice;
                }
                if !asks_only {
                    world.gateway.enter(ending);
                }
            }
            Kind::Refund if world.gateway.charges == 0 => {
                world.broken.add(Broken::REFUND_WITHOUT_CHARGE);
            }
            Kind::Refund => world.gateway.refunds = 1,
            Kind::MailConfirmed | Kind::MailCancelled | Kind::MailRefunded => {
                world.mails[hand.kind.at() - Kind::MailConfirmed.at()] += 1;
            }
        }
        ending
    }

    /// Whether the charge is looked up by its order, because its key may be forgotten.
    pub(super) fn looks_up(&self, world: &World) -> bool {
        world.gateway.has_forgotten && self.flaw != Flaw::OldKeysAreCalled
    }

    pub(super) fn arrive_late(world: &mut World, ending: Book) {
        world.gateway.travelling -= 1;
        world.gateway.enter(ending);
    }
}

impl Gateway {
    /// What the list says of the order: nothing of a decline.
    fn listed(self) -> Book {
        if self.charges > 0 { self.charge } else { Book::Nothing }
    }

    fn enter(&mut self, ending: Book) {
        if self.charge == Book::Nothing {
            self.charge = ending;
            self.charges += u8::from(ending != Book::Declined);
        }
    }
}
