//! The local world as a person sees it: Tencent's calls as they come, CloudWatch's metrics, and the plan's upgrade.

use std::{io, time::Duration};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{interval, sleep},
};

use crate::{cloudwatch::CloudWatch, world::World};

/// Shows what happens, for ever; each time it is `asked`, the app's plan is upgraded.
///
/// # Errors
/// When the function writes metrics that break a rule, or AWS refuses them.
pub async fn live(world: &World, mut asked: UnboundedReceiver<()>, say: impl Fn(&str)) -> io::Result<()> {
    let mut cloudwatch = CloudWatch::watch(world)?;
    let mut put = interval(Duration::from_secs(5));
    let mut shown = 0;
    loop {
        tokio::select! {
            Some(()) = asked.recv() => {
                world.tencent.set_quota(usize::MAX);
                say("Tencent: the app's plan is upgraded; it may have any number of accounts");
            }
            _ = put.tick() => cloudwatch.put().await?,
            () = sleep(Duration::from_millis(200)) => {}
        }
        for call in world.tencent.calls().iter().skip(shown) {
            // A call shows once it is answered; the last one may not be yet.
            let Some(code) = call.code else { break };
            say(&format!("Tencent: {} {} -> {code}", call.command, call.user_id));
            shown += 1;
        }
    }
}
