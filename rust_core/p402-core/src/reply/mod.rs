//! Decides how answers read: `p402_metadata`, headers, and every error's status, type and code.
//! Does not send them and does not decide when one is due.
