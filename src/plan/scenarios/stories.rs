//! Whatever happens to an object, in any order: in the end it is as it is wanted.

use std::{cell::RefCell, rc::Rc, time::Duration};

use proptest::prelude::*;

use super::{
    super::*,
    servers::{GUARDS, Replica, Servers, edit, issued, one_for_one, wait},
};
use crate::api::ROTATE_ANNOTATION;

/// Something that happens to an object.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Another lifetime is asked for.
    Edit,
    /// A new credential is asked for.
    Ask(u8),
    /// Time passes.
    Wait(u64),
    /// Somebody takes the Secret away.
    LoseSecret,
    /// Somebody deletes the client at C1.
    LoseClient,
    /// The operator does so many things, and dies.
    Crash(usize),
    /// The operator does what is to be done.
    Settle,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Edit),
        any::<u8>().prop_map(Event::Ask),
        (1_u64..100_000).prop_map(Event::Wait),
        Just(Event::LoseSecret),
        Just(Event::LoseClient),
        (0..8_usize).prop_map(Event::Crash),
        Just(Event::Settle),
    ];
    prop::collection::vec(event, 0..12)
}

fn happen(servers: &Rc<RefCell<Servers>>, replica: &mut Replica, event: Event) {
    match event {
        Event::Edit => edit(servers),
        Event::Ask(n) => {
            let mut servers = servers.borrow_mut();
            let annotations = servers.object.metadata.annotations.get_or_insert_default();
            annotations.insert(ROTATE_ANNOTATION.into(), n.to_string());
            let _ = servers.touch();
        }
        Event::Wait(seconds) => wait(servers, Duration::from_secs(seconds)),
        Event::LoseSecret => {
            let mut servers = servers.borrow_mut();
            (servers.secret, servers.taken) = (None, true);
        }
        Event::LoseClient => {
            let mut servers = servers.borrow_mut();
            let id = servers.object.status.as_ref().and_then(|s| s.client.as_ref()).map(|client| client.id.clone());
            if let Some(client) = id.and_then(|id| servers.clients.get_mut(&id)) {
                client.1 = false;
                servers.taken = true;
            }
        }
        Event::Crash(effects) => {
            replica.list();
            replica.look();
            for _ in 0..effects {
                replica.perform_one();
            }
            *replica = Replica::new(servers);
        }
        Event::Settle => {
            replica.list();
            replica.settle();
        }
    }
}

proptest! {
    /// Whatever has happened, and wherever the operator died: in the end all is as it is wanted. Then whoever looks finds nothing to do.
    #[test]
    fn what_is_as_it_is_wanted_gives_no_step(events in events()) {
        let (servers, mut replica) = issued();
        for event in events {
            happen(&servers, &mut replica, event);
        }
        // Attempts grow old, and pauses and overlaps end.
        for _ in 0..20 {
            wait(&servers, Duration::from_hours(2));
            replica.list();
            replica.settle();
        }
        one_for_one(&servers);
        for mut replica in [replica, Replica::new(&servers)] {
            replica.list();
            prop_assert_eq!(plan(&replica.observed(), servers.borrow().now, GUARDS).step, Step::Nothing);
        }
    }
}
