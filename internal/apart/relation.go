package apart

// Relation says how a folder and another path overlap.
type Relation int

// The relations.
const (
	Apart    Relation = iota // they do not overlap
	Same                     // they are the same
	Contains                 // the folder contains the other
	Inside                   // the folder is inside the other
)
