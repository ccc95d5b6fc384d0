package health

import "time"

// Impatient lets a transport look at once for a service that is lost.
func Impatient(t *Transport) { t.every, t.after = time.Millisecond, 0 }
