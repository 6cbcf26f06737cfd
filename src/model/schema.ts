/** Valibot, for whoever reads what came from outside. This file is the one that knows the package. */
export * as v from "valibot";
