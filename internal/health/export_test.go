package health

import "time"

// Impatient makes a transport check at once for a lost service.
func Impatient(t *Transport) { t.every, t.after = time.Millisecond, 0 }
