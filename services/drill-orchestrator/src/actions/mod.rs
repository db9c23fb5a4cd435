//! Everything that a drill file can name: actions and probes, each a type whose fields are its parameters.

mod alert;
mod audit;
mod commands;
mod databases;
mod external;
mod fills;
mod follow;
mod in_flight;
mod kill;
mod kill_switch;
mod logs;
mod matching;
mod network;
mod opening;
mod orders;
mod outage;
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
    settle::BecomeQuiet::ENTRY,
    recovered::JudgeRecovery::ENTRY,
    recovered::TrailVerifies::ENTRY,
    logs::JudgeLogs::ENTRY,
    external::ExternalTradeMade::ENTRY,
    reconcile::Reconcile::ENTRY,
    reconcile::FindExternalTrade::ENTRY,
    matching::BookMatches::ENTRY,
    commands::ReconcileCommand::ENTRY,
    commands::JudgeScript::ENTRY,
    network::NetworkFault::ENTRY,
    network::Isolate::ENTRY,
    network::MendNetwork::ENTRY,
    opening::OpeningStops::ENTRY,
    opening::ClosingWorks::ENTRY,
    opening::NothingOpened::ENTRY,
    in_flight::CutInFlight::ENTRY,
    in_flight::DoubtEnds::ENTRY,
    outage::FaultLasts::ENTRY,
    outage::JudgeDelivery::ENTRY,
    fills::JudgeFills::ENTRY,
    alert::LateAlert::ENTRY,
    rollback::RestoreKillSwitch::ENTRY,
    rollback::CancelOpenOrders::ENTRY,
    rollback::CloseLeftovers::ENTRY,
    rollback::RestartWhatIsDown::ENTRY,
];
