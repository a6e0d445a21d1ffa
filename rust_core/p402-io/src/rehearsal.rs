//! Answers what a request would lead to: the whole decision, or its size, without calling anyone.
//! Does not hold, send or learn anything; how often it may be asked is pace.rs.

use crate::gateway::{Call, Gateway};
use crate::lookup::{Question, would_look};
use crate::outbox::Head;
use bytes::Bytes;
use p402_core::reply::{ApiError, ReplyHeaders, dropped_warning};
use p402_core::route::Ask;

impl Gateway {
    /// The dry run: the live decision, told and not carried out (routing.md § 2.3).
    ///
    /// # Errors
    /// What the live request would be refused with.
    pub fn explain(&self, call: &Call, all: bool) -> Result<Vec<u8>, ApiError> {
        let now = self.node.clock.now();
        self.node.pace.take(&call.tenant, now.ticks)?;
        let (scan, options, wish) = Self::read(call)?;
        let ask = Ask {
            request: self.node.request_id(now),
            tenant: &call.tenant,
            body: &call.body,
            scan: &scan,
            options: &options,
        };
        let mut router = self.node.router.lock();
        let world = self.node.world.load_full();
        let routing = world.routing(&call.tenant);
        let (node, api_key) = (&*self.node, call.key);
        let question = Question { node, world: &world, ask, api_key, wish: &wish, now };
        let looks = would_look(&question)?;
        Ok(router.explain(&routing, &ask, now, (all, looks))?.to_json())
    }

    /// How long a request is, for the model that would serve it. An estimate, whoever makes the
    /// model: to count is not worth a trip that may fail.
    ///
    /// # Errors
    /// What the live request would be refused with.
    pub fn count(&self, mut call: Call) -> Result<Head, ApiError> {
        let now = self.node.clock.now();
        self.node.pace.take(&call.tenant, now.ticks)?;
        let mut dropped = Vec::new();
        if let Some(entered) = call.door.measured(&call.body)? {
            call.body = Bytes::from(entered.body);
            dropped = entered.dropped;
        }
        let (scan, options, _) = Self::read(&call)?;
        let request = self.node.request_id(now);
        let ask =
            Ask { request, tenant: &call.tenant, body: &call.body, scan: &scan, options: &options };
        let world = self.node.world.load_full();
        let routing = world.routing(&call.tenant);
        let tokens = self.node.router.lock().count(&routing, &ask, now)?;
        let mut warnings = vec!["input_tokens=estimated".to_owned()];
        warnings.extend(dropped_warning(&dropped));
        let mut headers =
            ReplyHeaders { warnings: &warnings, ..ReplyHeaders::new(request) }.build();
        headers.push(("content-type", "application/json".to_owned()));
        Ok(Head { status: 200, headers, body: Some(call.door.counted(tokens)) })
    }
}
