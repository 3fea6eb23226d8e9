// Package random runs schedules drawn at random, of systems that have too many to try all: of timed scenarios at full size, where
// package system's Steer hands the order over, and of bounded ones.
//
//	w, err := random.New(scenario, policy, judge, random.Options{Depth: 3})
//	res, err := w.Explore(ctx, 1000)
//	err = w.Play(ctx, res.Runs[7].Seed, open)     // the same run again, event by event
//
// # Two ways to draw
//
// The walk takes any of the things that could happen next, each as likely. PCT (Burckhardt, Kothari, Musuvathi, Nagarakatte: A
// Randomized Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010) gives contexts random priorities, lets the highest that can go on
// go on, and at Depth-1 random points drops the one in hand below all others. A bug that Depth orderings of steps suffice for is found
// by a run with a probability of at least 1/(n*k^(Depth-1)), n being the number of contexts and k that of choices: [Result.Bound].
//
// # What the bound does not cover
//
// Inputs come at their times, whatever is drawn, and in a timed scenario only what is due within the horizon of the first thing that is
// can come before it; n and k are those of the first run, and other runs may have more. Of bounded scenarios everything is in reach.
//
// # What it refuses to do
//
// It does not judge, has no clock, and draws from nothing but the seed: the run of a seed is the same whatever came before it, and on
// however many goroutines.
package random
