package health

import "time"

// Impatient makes a transport check at once for a lost service.
func Impatient(t *Transport) { t.interval, t.idleTime = time.Millisecond, 0 }
