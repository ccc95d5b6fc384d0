package watch

// limits is what the system allows, in words.
type limits struct{ detail, fix string }
