#![allow(dead_code)]
use std::{path::PathBuf,sync::Arc,collections::BTreeMap,net::SocketAddr};
use thunes_runtime::*;
#[derive(Debug,Clone)] pub struct DrillConfig{pub listen:SocketAddr,pub plaintext:bool,pub data_dir:PathBuf}
impl DrillConfig{ pub fn read(_s:&Settings)->Result<(Self,Vec<KeyDoc>),ConfigFaults>{todo!()} }
#[derive(Debug)] pub enum DrillError{Unknown{name:String},File(String),ReadFile{a:u8},SameName{a:u8},LiveAccount{url:String},FailpointService{a:u8},NoFailpoints,Other}
impl std::fmt::Display for DrillError{fn fmt(&self,_:&mut std::fmt::Formatter<'_>)->std::fmt::Result{todo!()}} impl std::error::Error for DrillError{}
#[derive(Debug)] pub struct ProgressEvent; impl std::fmt::Display for ProgressEvent{fn fmt(&self,_:&mut std::fmt::Formatter<'_>)->std::fmt::Result{todo!()}}
pub struct RunOptions{pub drills:Vec<String>,pub data_dir:Option<PathBuf>,pub out_dir:Option<PathBuf>,pub seed:u64,pub reason:String,pub actor:String,pub keep_environment:bool,pub allow_live:bool,pub config:DrillConfig,pub config_file:Option<PathBuf>,pub failpoints:BTreeMap<String,String>}
impl RunOptions{pub fn new(_p:PathBuf,_j:DrillConfig)->Self{todo!()}}
#[derive(serde::Serialize,Clone,Copy)] pub enum Verdict{Pass} impl Verdict{pub fn exit_code(self)->i32{0}} impl std::fmt::Display for Verdict{fn fmt(&self,_:&mut std::fmt::Formatter<'_>)->std::fmt::Result{todo!()}}
#[derive(serde::Serialize)] pub struct Criterion; impl Criterion{pub fn id(&self)->&str{""} pub fn unit(&self)->&str{""} pub fn why(&self)->&str{""} pub fn measured_text(&self)->String{todo!()} pub fn verdict(&self)->Verdict{todo!()}}
#[derive(serde::Serialize)] pub struct DrillReport{pub id:String,pub title:String,pub verdict:Verdict,pub duration_ms:i64,pub criteria:Vec<Criterion>}
#[derive(serde::Serialize)] pub struct Report{pub verdict:Verdict,pub duration_ms:i64,pub note:String,pub drills:Vec<DrillReport>}
pub struct ReportFiles{pub json:PathBuf,pub html:PathBuf,pub markdown:PathBuf}
pub struct RunOutcome{pub report:Report,pub files:Option<ReportFiles>}
pub async fn run_local(_o:RunOptions,_p:Arc<dyn Fn(&ProgressEvent)+Send+Sync>,_c:tokio_util::sync::CancellationToken)->Result<RunOutcome,DrillError>{todo!()}
pub fn failpoints_from_env()->Result<BTreeMap<String,String>,DrillError>{todo!()}
pub struct CritDef{pub id:String} pub struct DrillDefinition{pub id:String,pub title:String,pub objective:String,pub criteria:Vec<CritDef>}
pub fn list_drills(_c:&DrillConfig)->Result<Vec<DrillDefinition>,DrillError>{todo!()}
pub fn read_report(_p:&std::path::Path)->Result<Report,DrillError>{todo!()} pub fn render_html(_r:&Report)->String{todo!()} pub fn render_markdown(_r:&Report)->String{todo!()}
pub async fn serve(_c:DrillConfig,_l:tokio::net::TcpListener,_s:tokio_util::sync::CancellationToken)->Result<(),DrillError>{todo!()}

#[derive(Debug)] pub struct SimConfig{pub listen:SocketAddr,pub admin_listen:SocketAddr,pub plaintext:bool}
impl SimConfig{ pub fn read(_s:&Settings)->Result<(Self,Vec<KeyDoc>),ConfigFaults>{todo!()} }
pub async fn sim_serve(_c:SimConfig,_l:tokio::net::TcpListener,_a:tokio::net::TcpListener,_s:tokio_util::sync::CancellationToken)->Result<(),DrillError>{todo!()}
