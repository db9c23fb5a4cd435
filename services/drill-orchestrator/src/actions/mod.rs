//! Everything that a drill file can name: actions and probes, each a type whose fields are its parameters.

mod alert;
mod audit;
mod commands;
mod external;
mod kill;
mod kill_switch;
mod logs;
mod matching;
mod orders;
mod probes;
mod reconcile;
mod recovered;
mod restart;
mod rollback;
mod runbook;
mod settle;
mod storm;
mod trade_loop;

pub use runbook::RUNBOOK;

use crate::engine::Entry;

/// Every action, by the order of the documentation.
pub const ALL: &[Entry] = &[
    probes::ServicesServing::ENTRY,
    probes::SwitchIs::ENTRY,
    probes::RecordState::ENTRY,
    orders::OpenPosition::ENTRY,
    orders::RefuseBuy::ENTRY,
    orders::AllowSell::ENTRY,
    orders::BuyFilled::ENTRY,
    kill_switch::ActivateKillSwitch::ENTRY,
    kill_switch::SwitchedOff::ENTRY,
    alert::AwaitAlert::ENTRY,
    audit::AuditEvent::ENTRY,
    restart::RestartWhileActive::ENTRY,
    runbook::FollowRunbook::ENTRY,
    trade_loop::StartTradeLoop::ENTRY,
    trade_loop::StopTradeLoop::ENTRY,
    kill::Kill9::ENTRY,
    settle::Settle::ENTRY,
    recovered::JudgeRecovery::ENTRY,
    logs::JudgeLogs::ENTRY,
    external::ExternalTradeMade::ENTRY,
    reconcile::Reconcile::ENTRY,
    reconcile::FindExternalTrade::ENTRY,
    matching::BookMatches::ENTRY,
    commands::ReconcileCommand::ENTRY,
    commands::JudgeScript::ENTRY,
    rollback::RestoreKillSwitch::ENTRY,
    rollback::CancelOpenOrders::ENTRY,
    rollback::CloseLeftovers::ENTRY,
    rollback::RestartWhatIsDown::ENTRY,
];
