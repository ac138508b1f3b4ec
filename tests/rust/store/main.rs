//! Tests of the contract of a store, run against each store: in memory and PostgreSQL.
//!
//! The PostgreSQL store needs a database with the tables of the migration, in `STORE_DATABASE_URL`.
//! `tests/postgres/test_store_contract.py` sets it. Without it, only the store in memory is tested.

#![expect(clippy::expect_used, reason = "a test without its database has failed")]

mod catalog;
mod contract;
mod keys;
mod rows;
