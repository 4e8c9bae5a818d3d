import { mount } from 'svelte';
import '../styles/base.css';
import Play from './Play.svelte';

const target = document.getElementById('app');
if (target) mount(Play, { target });
