//! The wallet transaction service.
