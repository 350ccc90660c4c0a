//! `dormouse recover`: brings all databases back from the backup repository alone.

use std::path::Path;
use std::time::Duration;

use dormouse_api::ErrorBody;
use dormouse_control::backups::{Key, Recovered, prepare_recovery};
use dormouse_engine::MasterSource;
use serde_json::json;

use super::{GRACE, Up, data_dir, log_to_stderr, runtime, stop};
use crate::Outcome;
use crate::cli::{RecoverArgs, UpArgs};
use crate::config::Config;
use crate::format::size;
use crate::output::Output;
use crate::values::Listen;

/// Deadline of the command that prints the key.
const KEY_COMMAND: Duration = Duration::from_secs(30);

/// Recovers into the data directory.
pub(crate) fn run(data_dir: &Path, args: RecoverArgs, output: &Output) -> Outcome {
    let up = UpArgs {
        listen: Some(Listen::Off),
        socket: None,
        config: args.config,
        log_level: args.log_level,
    };
    log_to_stderr(&up.log_level)?;
    let mut config = Config::load(&up)?;
    if args.repository.is_some() {
        config.backup.repository = args.repository;
        (config.backup.key_env, config.backup.key_command) = (None, None);
        config.backup.credentials_file = None;
        config.backup.options.clear();
    }
    if let Some(file) = args.key_file {
        config.backup.key_file = Some(file);
    }
    if let Some(file) = args.credentials_file {
        config.backup.credentials_file = Some(file);
    }
    config.backup.options.extend(args.options);
    // only what a recovery needs
    config.warm_pool.size = 0;
    config.asleep.understudies = 0;
    config.api.listen = Listen::Off;
    config.socket = None;
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    let _opened = data_dir::open(data_dir)?;
    let databases = prepare(&config, data_dir, args.installation.as_deref())?;
    output.remark(&format!("the repository has {databases} databases"));
    let runtime = runtime()?;
    let recovered = runtime.block_on(Box::pin(recover(&config, data_dir, output)));
    runtime.shutdown_background();
    let recovered = recovered?;
    output.result(&as_json(&recovered), |_| text(&recovered))?;
    match recovered.lost.first() {
        None => Ok(()),
        Some(first) => {
            let message = format!(
                "{} of {databases} databases could not be recovered; the first is '{}': {}",
                recovered.lost.len(),
                first.name,
                first.reason
            );
            Err(ErrorBody::new("machine", message)
                .with_hint("mend that and repeat the command: what was recovered stays"))
        }
    }
}

/// Writes the installation's files; returns the number of its databases.
fn prepare(config: &Config, data_dir: &Path, installation: Option<&str>) -> Outcome<usize> {
    let place = config.backup.place();
    let place =
        place.map_err(|(message, hint)| ErrorBody::new("invalid", message).with_hint(hint))?;
    let (location, source) = place.ok_or_else(|| {
        ErrorBody::new("invalid", "no backup repository is named").with_hint(
            "give --repository PLACE and --key-file FILE, or --config FILE with [backup]",
        )
    })?;
    let key = read_key(&source, data_dir)?;
    let options = config.backup.place_options(data_dir);
    let (_, databases) = prepare_recovery(data_dir, &location, &key, &options, installation)?;
    Ok(databases)
}

fn read_key(source: &MasterSource, data_dir: &Path) -> Outcome<Key> {
    let text = source.read(data_dir, KEY_COMMAND);
    let text = text.map_err(|error| ErrorBody::new("invalid", error.to_string()))?;
    Ok(Key::new(text.as_str().to_owned()))
}

async fn recover(config: &Config, data_dir: &Path, output: &Output) -> Outcome<Recovered> {
    let mut signals = stop::Signals::listen()?;
    let up = Up::start(config, data_dir).await?;
    let plane = up.plane.clone();
    let recovered = tokio::select! {
        recovered = async { plane.backups().recover(|line| output.remark(line)).await } => recovered.map_err(ErrorBody::from),
        signal = signals.next() => Err(ErrorBody::new("stopped", format!("stopped by {signal}"))
            .with_hint("repeat the command: what was recovered stays")),
    };
    let _late = tokio::time::timeout(2 * GRACE, up.stop()).await;
    recovered
}

fn as_json(recovered: &Recovered) -> serde_json::Value {
    let restored = recovered.restored.iter().map(|one| {
        json!({"name": one.name, "backup": one.backup, "taken_at": one.taken_at, "size": one.size})
    });
    let lost = recovered
        .lost
        .iter()
        .map(|one| json!({"name": one.name, "reason": one.reason}));
    json!({
        "restored": restored.collect::<Vec<_>>(),
        "lost": lost.collect::<Vec<_>>(),
        "present": recovered.present,
        "tokens": recovered.tokens,
        "size": recovered.size,
    })
}

fn text(recovered: &Recovered) -> String {
    let mut text = String::new();
    for one in &recovered.restored {
        text.push_str(&format!(
            "{}: as of {:.0}, {}\n",
            one.name,
            one.taken_at,
            size(one.size)
        ));
    }
    for one in &recovered.lost {
        text.push_str(&format!("{}: LOST: {}\n", one.name, one.reason));
    }
    let present = match recovered.present.len() {
        0 => String::new(),
        count => format!("; {count} were there already"),
    };
    text.push_str(&format!(
        "{} databases recovered, {}, and {} tokens{present}; start them with: dormouse up\n",
        recovered.restored.len(),
        size(recovered.size),
        recovered.tokens
    ));
    text
}
