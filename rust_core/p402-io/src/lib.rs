//! Does everything that touches the world: clocks, sockets, and the line that joins the stages.
//! Decides nothing that p402-core could decide.

#![forbid(unsafe_code)]

// Modules in rank order: a module may name only those above it.
pub mod clock;
pub mod histogram;
pub mod trust;

pub mod exposition;

pub mod meter;

pub mod embed;
pub mod ledger;
pub mod outbox;
pub mod sign;
pub mod store;
pub mod thoughts;
pub mod transport;
pub mod upstream;

pub mod checks;
pub mod emit;
pub mod flights;
pub mod holds;
pub mod pace;
pub mod past;
pub mod records;
pub mod rids;
pub mod truth;
pub mod watch;

pub mod traffic;

pub mod home;
pub mod looked;

pub mod desk;

pub mod reservation;

pub mod world;

pub mod hatch;
pub mod heir;
pub mod pooling;

pub mod node;

pub mod metrics;

pub mod turn;

pub mod booking;

pub mod settling;

pub mod admission;
pub mod cover;
pub mod exchange;
pub mod keeping;
pub mod lookup;

pub mod dispatch;
pub mod heads;

pub mod hit;
pub mod inquiry;

pub mod pump;

pub mod company;

pub mod gateway;

pub mod control;
pub mod rehearsal;
pub mod shadow;
