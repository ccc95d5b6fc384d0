package health

import "time"

// CheckAtOnce makes a transport check at once for a lost service.
func CheckAtOnce(t *Transport) { t.interval, t.idleTime = time.Millisecond, 0 }
