package apart

// Relation says how a folder and something else overlap.
type Relation int

// The relations.
const (
	Apart    Relation = iota // they share nothing
	Same                     // they are one
	Contains                 // the folder contains the other
	Inside                   // the folder is inside the other
)
