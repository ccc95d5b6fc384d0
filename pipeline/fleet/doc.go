// Package fleet holds what the processes of a fleet agree on: who is a live member, which of
// them leads, which budget is paused until when, and what is left of it today. All of it is
// kept in one bucket under compare-and-set (Store), so the processes need not know each other.
//
// It decides nothing about jobs.
package fleet
