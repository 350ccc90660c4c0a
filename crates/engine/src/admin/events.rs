//! The server's event scheduler: what runs, and when the next event is due.

use dormouse_types::Events;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Admin, AdminError, TIMEOUT};

/// Time of the next enabled event, in UTC. `mysql.event` has times in UTC and intervals in their
/// smallest unit. Computed like the scheduler does (`get_next_time`, `compute_next_execution_time` in
/// event_data_objects.cc): STARTS plus a multiple of the interval, in the event's own time zone. If the
/// month lacks that day, the scheduler adds one month to the day it took instead; so does this.
const NEXT: &str = "\
    WITH event AS (SELECT execute_at, last_executed, starts, ends, time_zone, UTC_TIMESTAMP() AS now, \
      CASE WHEN interval_field IN ('MONTH', 'QUARTER', 'YEAR_MONTH') THEN interval_value \
        WHEN interval_field = 'YEAR' THEN 12 * interval_value END AS months, \
      interval_value * CASE WHEN interval_field IN ('WEEK', 'DAY') THEN 86400 \
        WHEN interval_field IN ('DAY_HOUR', 'HOUR') THEN 3600 \
        WHEN interval_field IN ('DAY_MINUTE', 'HOUR_MINUTE', 'MINUTE') THEN 60 \
        ELSE 1 END AS seconds \
      FROM mysql.event WHERE status = 'ENABLED'), \
    local AS (SELECT event.*, CONVERT_TZ(starts, '+00:00', time_zone) AS first, \
      CONVERT_TZ(now, '+00:00', time_zone) AS today FROM event), \
    near AS (SELECT local.*, CASE WHEN months IS NULL THEN first + INTERVAL \
        (GREATEST(TIMESTAMPDIFF(SECOND, first, today), 0) DIV seconds * seconds + seconds) SECOND \
      ELSE first + INTERVAL (PERIOD_DIFF(EXTRACT(YEAR_MONTH FROM today), \
        EXTRACT(YEAR_MONTH FROM first)) DIV months * months) MONTH END AS due FROM local), \
    both_due AS (SELECT near.*, CONVERT_TZ(due, time_zone, '+00:00') AS one, CONVERT_TZ( \
        IF(months IS NULL, due + INTERVAL seconds SECOND, due + INTERVAL months MONTH), \
        time_zone, '+00:00') AS other FROM near), \
    next AS (SELECT CASE \
      WHEN execute_at IS NOT NULL THEN IF(last_executed IS NULL, execute_at, NULL) \
      WHEN now < starts OR now = starts AND NOT starts <=> last_executed THEN starts \
      ELSE IF(one > now, one, other) END AS due, ends FROM both_due) \
    SELECT MIN(due) FROM next WHERE ends IS NULL OR due <= ends";

/// Running events: a running event is a connection in the state `Connect` that has a user.
const RUNNING: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
    WHERE COMMAND = 'Connect' AND USER <> 'unauthenticated user'";

impl Admin {
    /// Whether an event is running, and when the next one is due (`None` if the scheduler is off).
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn events(&mut self) -> Result<Events, AdminError> {
        const NO_SUCH_TABLE: u16 = 1146;
        let doing = "reading the events";
        let running = self.run(doing, RUNNING, TIMEOUT).await?.text(0, 0) != "0";
        let is_on = "SELECT @@GLOBAL.event_scheduler";
        let is_on = self.run(doing, is_on, TIMEOUT).await?.text(0, 0) == "ON";
        if !is_on {
            return Ok(Events {
                next: None,
                running,
            });
        }
        let next = match self.run(doing, NEXT, TIMEOUT).await {
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_TABLE => None,
            next => next?.text(0, 0).parse::<DateTime>().ok(),
        };
        Ok(Events {
            next: next.and_then(|at| Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())),
            running,
        })
    }
}
